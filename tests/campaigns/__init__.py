"""Tests of the campaigns that come with rose: their scripts, without rose."""
