from one import a
b = 1
