package logsink

// recentJobs are remembered in each of two generations.
const recentJobs = 20_000

// recent remembers the jobs whose request row was written last, so that an
// attempt that ends after its request does not open the job again. It forgets
// the older half at a time; a job forgotten too early is only tracked until
// its deadline for nothing.
type recent struct{ young, old map[string]struct{} }

func (r *recent) add(job string) {
	if r.young == nil || len(r.young) >= recentJobs {
		r.old, r.young = r.young, make(map[string]struct{}, 64)
	}
	r.young[job] = struct{}{}
}

func (r *recent) has(job string) bool {
	if _, ok := r.young[job]; ok {
		return true
	}
	_, ok := r.old[job]
	return ok
}
