package httpapi

// Routes returns the method and path of every route.
func Routes() (out [][2]string) {
	for _, r := range (&api{}).routes() {
		out = append(out, [2]string{r.method, r.path})
	}
	return out
}
