"""Rose from Python: sessions in processes of their own, and what they tell the program that started them."""
