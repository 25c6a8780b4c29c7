print("init of pkg", __name__)
