"""The long-running process: inbox, sync loop, parts and their lifecycle."""
