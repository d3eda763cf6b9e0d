"""The arithmetic of models: rates, trees, calibration, figures, drift. It needs no Spark.

Rows come in as arrays of NumPy; the stages fetch them and put results back into tables.
"""
