package node

import "github.com/prometheus/client_golang/prometheus"

// registerMemory shows what the process may take, beside what it takes (process_resident_memory_bytes).
func registerMemory(r prometheus.Registerer, p memoryPlan) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_memory_budget_bytes", Help: "Memory that the process may take (--memory).",
	}, func() float64 { return float64(p.Total) }))
}
