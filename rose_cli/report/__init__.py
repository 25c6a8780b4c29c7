"""What a report on runs shows, as data, and the forms that it is written in."""
