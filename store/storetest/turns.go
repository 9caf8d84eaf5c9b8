package storetest

func turnCases() []testCase {
	return []testCase{
		{"Turns/Interleaved", testTurnsInterleaved},
	}
}
