"""The format of a published model, and the store that keeps them: safetensors and JSON, no code."""

from model_store.draws import DRAWS_IN_A_ROW, LARGEST_SHEET, draws_to_png, fits_a_sheet
from model_store.errors import FailedSelfTest, ModelRefused, StoreError, UnknownModel
from model_store.loading import LoadedModel
from model_store.manifest import DRAWS, Manifest, PicturesNote
from model_store.opening import open_store
from model_store.precision import measure_bfloat16, serving
from model_store.publication import CalibrationEvidence, MapEvidence, Publication, Report
from model_store.publishing import Published, add_map, check_name, publish, published_before, recalibrate
from model_store.store import Store, default_root
from model_store.transfer import publish_weights, receive, send
from model_store.weights import half_dtype, round_weights

__all__ = [
    "DRAWS",
    "DRAWS_IN_A_ROW",
    "LARGEST_SHEET",
    "CalibrationEvidence",
    "FailedSelfTest",
    "LoadedModel",
    "Manifest",
    "MapEvidence",
    "ModelRefused",
    "PicturesNote",
    "Publication",
    "Published",
    "Report",
    "Store",
    "StoreError",
    "UnknownModel",
    "add_map",
    "check_name",
    "default_root",
    "draws_to_png",
    "fits_a_sheet",
    "half_dtype",
    "measure_bfloat16",
    "open_store",
    "publish",
    "publish_weights",
    "published_before",
    "recalibrate",
    "receive",
    "round_weights",
    "send",
    "serving",
]
