"""Long drills of whole services under disturbance; run by hand or by `make drill-...`, in small by tests/crash."""
