"""The systems of the course documents and of papers, each with its figures beside theirs.

A folder for each document holds its code, figures and pictures; ``bench`` is what they share.
"""
