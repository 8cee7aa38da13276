"""Ways to break bwvd on purpose, each with the tests that must notice: a test that nothing can fail proves nothing."""
