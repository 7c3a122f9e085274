"""The HTTP side of Jobcast: API, event streams, WebSockets, page and command line."""
