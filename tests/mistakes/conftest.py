"""The programs are for `test_mistakes` to run: they raise."""

collect_ignore_glob = ["programs/*"]
