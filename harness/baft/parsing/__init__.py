"""Reading what models and datasets hold: safe YAML, fenced blocks, documents among prose.

Plugins import the modules of this package; all of them take hostile text and stay within limits.
"""
