"""Datasets and batches: the index, nothing else."""

from d2lblocks.gluon.data import vision as vision
from d2lblocks.gluon.data.dataloader import DataLoader as DataLoader
from d2lblocks.gluon.data.dataset import ArrayDataset as ArrayDataset
from d2lblocks.gluon.data.dataset import Dataset as Dataset
from d2lblocks.gluon.data.dataset import SimpleDataset as SimpleDataset
from d2lblocks.gluon.data.sampler import BatchSampler as BatchSampler
from d2lblocks.gluon.data.sampler import FilterSampler as FilterSampler
from d2lblocks.gluon.data.sampler import RandomSampler as RandomSampler
from d2lblocks.gluon.data.sampler import Sampler as Sampler
from d2lblocks.gluon.data.sampler import SequentialSampler as SequentialSampler
