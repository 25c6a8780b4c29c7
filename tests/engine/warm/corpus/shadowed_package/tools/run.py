import joblib; print(joblib.WHO)
