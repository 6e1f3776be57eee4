"""How long what was stolen goes on working: seen at a scale of seconds, stated for the mesh's own.

`measure` is the entry. This file stays empty, so that the thief's program starts quickly.
"""
