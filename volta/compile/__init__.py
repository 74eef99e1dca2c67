"""Compiling lists: passes, and the program written for what they leave."""
