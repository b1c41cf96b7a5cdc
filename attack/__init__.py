"""Attacks on lowerbound: damaged files, hostile options, kills in mid-write, odd environments.

Each attempt is one command in a process of its own.  What it leaves must be the right answer, or
one sentence and nothing else.  ``scripts/attack`` runs them; tests/test_attack.py a few of each.
"""
