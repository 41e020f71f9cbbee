"""How many devices a load needs: measured costs, a simulation of api processes and devices, and its check."""
