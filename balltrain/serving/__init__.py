"""A page that shows the sweeps of a storage as they run: a small web server, and what the browser gets from it."""
