from convergent.store import open_dataset as open_dataset
from convergent.study import Study as Study
from convergent.tables.frames import read_measurements as read_measurements

__version__: str
