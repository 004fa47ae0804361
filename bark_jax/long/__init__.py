"""Texts of any length: read, split into pieces, spoken piece by piece into one file."""
