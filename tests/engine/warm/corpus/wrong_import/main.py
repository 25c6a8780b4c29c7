"""An import of the user's own module that has a syntax error, that fails, that is circular."""
# run: python main.py syntax
# run: python main.py fails
# run: python main.py circular
# run: python main.py exits

import sys

__import__({"syntax": "has_syntax_error", "fails": "fails_at_import", "circular": "one", "exits": "exits"}[sys.argv[1]])
