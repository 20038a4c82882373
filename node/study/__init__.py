"""What the headers of a study say, to whoever asks: routes, the look-up of records, the search for earlier reports."""
