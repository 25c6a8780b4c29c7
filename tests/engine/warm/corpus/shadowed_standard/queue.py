WHO = "the user's queue"
