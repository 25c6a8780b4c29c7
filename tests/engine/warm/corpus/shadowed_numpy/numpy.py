WHO = "the user's numpy"
