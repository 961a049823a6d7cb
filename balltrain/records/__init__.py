"""What is written of a sweep, and read again: the journal, the state it makes, the tables and their readers."""
