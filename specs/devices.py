"""GPUs by name: what `compute.gpu` may say, with their memory, their peaks and what CUDA calls them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU: bytes that programs see (CUDA's total memory, below the nominal size), dense peaks in TFLOP/s."""

    memory: int
    tflops: float
    """Of bf16 matrix products."""
    tflops_fp32: float
    """Of fp32 ones, without TF32, which torch does not use unless it is told to."""
    called: tuple[str, ...]
    """Names that CUDA has for cards with these peaks."""


# Peaks are those of the data sheets, without sparsity, fp32 accumulation, SXM cards of A100, H100 and H200.
DEVICES: dict[str, Device] = {
    "a100-40gb": Device(memory=42_200_000_000, tflops=312.0, tflops_fp32=19.5, called=("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB")),
    "a100-80gb": Device(memory=84_900_000_000, tflops=312.0, tflops_fp32=19.5, called=("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe")),
    "h100-80gb": Device(memory=84_900_000_000, tflops=989.0, tflops_fp32=67.0, called=("NVIDIA H100 80GB HBM3",)),
    "h200-141gb": Device(memory=150_000_000_000, tflops=989.0, tflops_fp32=67.0, called=("NVIDIA H200",)),
    # No bf16 units: the fp32 peak.
    "v100-32gb": Device(memory=34_000_000_000, tflops=15.7, tflops_fp32=15.7, called=("Tesla V100-SXM2-32GB",)),
    "l40s-48gb": Device(memory=47_600_000_000, tflops=362.0, tflops_fp32=91.6, called=("NVIDIA L40S",)),
    "rtx4090-24gb": Device(memory=25_200_000_000, tflops=165.0, tflops_fp32=82.6, called=("NVIDIA GeForce RTX 4090",)),
    "rtx3090-24gb": Device(memory=25_300_000_000, tflops=71.0, tflops_fp32=35.6, called=("NVIDIA GeForce RTX 3090",)),
}


def device_called(name: str) -> Device | None:
    """By the name that CUDA has for it; None where its peaks are not known, as those of other cards of a family are other ones."""
    return next((device for device in DEVICES.values() if name in device.called), None)
