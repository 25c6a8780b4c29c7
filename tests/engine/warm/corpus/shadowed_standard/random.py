WHO = "the user's random"
