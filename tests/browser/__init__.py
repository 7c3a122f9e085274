"""The page and its client library in a real Chromium, on a whole Jobcast."""
