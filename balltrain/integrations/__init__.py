"""Callbacks for the trainers of other libraries, which report to a `balltrain.Trial`: docs/bring-your-own-code.md.

A module here imports its library, so import the one that you use.
"""
