"""Packages of third parties run in environments of their own (tests/suite/test_third_party.py)."""

collect_ignore_glob = ["*"]
