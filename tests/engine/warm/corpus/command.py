"""python -c: arguments, path, main module, errors, and what is compiled from a text."""
# lingers
# run: python -c "import sys; print(sys.argv, sys.orig_argv, sys.path[0:1], __name__, sorted(globals()))" a -b
# run: python -c "raise ValueError('in a command')"
# run: python -c "import command"
# run: python -c "def f(:"
# run: python -c "import sys; sys.exit('text')"
# run: python -c "import pickle\nclass A: pass\nprint(pickle.dumps(A()), A.__module__)"
# run: python -c "print(__file__)"
# run: python -c ""
# run: python -c "import multiprocessing as m; p = m.get_context('spawn').Pool(1); print(p.map(abs, [-1])); p.close(); p.join()"
# run: python -c "    print('indented')"
# run: python -c "import inspect, sys; print(inspect.stack()); f = open('left', 'w'); f.write('x')"
# known on 3.10: the first frame of rose's bootstrap is seen
# run: python -cprint(5)
# cold: passes the option '-cprint(5)'
# run: python -c
# cold: passes the option '-c'
# run: python -c "import sys; print(__builtins__, __spec__, __loader__, __doc__, __package__)"

print("imported as", __name__, __file__)
