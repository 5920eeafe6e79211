from planted_fixtures import planted_study, study

__all__ = ["planted_study", "study"]
