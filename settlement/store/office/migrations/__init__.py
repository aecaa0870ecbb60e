"""Numbered steps to the present tables; a step that was shipped is never edited."""
