"""Sentiment of English texts: a linear model over words, pieces of words and a lexicon, trained on what is in data/."""
