NAME = "keeper"
log = open("log.txt", "w")
log.write("held by a module")


class Cache:
    def __del__(self):
        print("the cache of the module goes")


cache = Cache()
