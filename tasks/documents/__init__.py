"""The text of documents that clients bring: PDF, Markdown, plain text in whatever encoding."""
