"""multiprocessing: a manager, shared values and shared memory, which is gone afterwards."""
# lingers

import multiprocessing
from multiprocessing import shared_memory


def add(value, numbers) -> None:
    with value.get_lock():
        value.value += 1
    numbers.append(value.value)


if __name__ == "__main__":
    value = multiprocessing.Value("i", 0)
    with multiprocessing.Manager() as manager:
        numbers = manager.list()
        children = [multiprocessing.Process(target=add, args=(value, numbers)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        print(value.value, sorted(numbers))
    memory = shared_memory.SharedMemory(create=True, size=16)
    memory.buf[:2] = b"ok"
    print(bytes(memory.buf[:2]))
    memory.close()
    memory.unlink()
