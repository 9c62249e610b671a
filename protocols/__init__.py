"""The published figures and tables, one script each; nothing runs on import."""
