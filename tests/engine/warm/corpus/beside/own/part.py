import os

VALUE = os.path.basename(__file__)
