package autoscaler

import "time"

// Options are the flags of the Cluster Autoscaler that bear on decisions.
type Options struct {
	Expanders                []string // in order: each narrows what the one before left
	BalanceSimilar           bool
	BalancingLabels          []string // compare by these only
	BalancingIgnoreLabels    []string
	MemoryDifferenceRatio    float64
	AllocatableDifference    float64
	FreeDifference           float64
	MaxNodesTotal            int // 0: no bound
	MinCores, MaxCores       int64
	MinMemory, MaxMemory     int64 // bytes
	MaxNodesPerScaleUp       int
	NewPodScaleUpDelay       time.Duration
	ExpendableCutoff         int // pods of a lower priority do not count
	ScaleUpFromZero          bool
	EnforceMinSize           bool
	ForceDaemonSets          bool
	StartupTaints            []string
	StatusTaints             []string
	ScaleFromUnschedulable   bool
	BypassedSchedulers       []string
	MaxNodeProvisionTime     time.Duration
	MaxUnreadyPercentage     float64
	OKUnreadyCount           int
	InitialBackoff           time.Duration
	MaxBackoff               time.Duration
	BackoffReset             time.Duration
	ForceDeleteUnregistered  bool
	ScaleDown                bool
	ScaleDownUnready         bool
	DelayAfterAdd            time.Duration
	DelayAfterDelete         time.Duration
	DelayAfterFailure        time.Duration
	DelayLocal               bool // a delay holds for the group to which it happened only
	UnneededTime             time.Duration
	UnreadyTime              time.Duration
	UtilizationThreshold     float64
	GPUUtilizationThreshold  float64
	IgnoreDaemonSets         bool // in a node's utilization
	IgnoreMirrorPods         bool
	NonEmptyCandidates       int
	CandidatesPoolRatio      float64
	CandidatesPoolMin        int
	SkipSystemPods           bool
	SystemPodTimeout         time.Duration
	SkipLocalStorage         bool
	SkipCustomControllers    bool
	MinReplicas              int
	MaxScaleDownParallelism  int
	MaxDrainParallelism      int
	MaxBulkSoftTaints        int
	EvictDaemonSetsOccupied  bool
	EvictDaemonSetsEmpty     bool
	Cordon                   bool
	MaxGracefulTermination   time.Duration
	MaxPodEvictionTime       time.Duration
	DeleteDelayAfterTaint    time.Duration
	NodeDeletionDelayTimeout time.Duration
	// DrainPriorities are groups of pods that are evicted one after another, the
	// lowest priority first; empty for all at once.
	DrainPriorities []DrainPriority
}

// DrainPriority is the time that pods of at least this priority have to end.
type DrainPriority struct {
	Priority int32
	Grace    time.Duration
}

// Defaults are upstream's.
func Defaults() Options {
	return Options{
		Expanders:                []string{"least-waste"},
		MemoryDifferenceRatio:    0.015,
		AllocatableDifference:    0.05,
		FreeDifference:           0.05,
		MaxCores:                 5000 * 64,
		MaxMemory:                5000 * 64 * 20 << 30,
		MaxNodesPerScaleUp:       1000,
		ExpendableCutoff:         -10,
		ScaleUpFromZero:          true,
		MaxNodeProvisionTime:     15 * time.Minute,
		MaxUnreadyPercentage:     45,
		OKUnreadyCount:           3,
		InitialBackoff:           5 * time.Minute,
		MaxBackoff:               30 * time.Minute,
		BackoffReset:             3 * time.Hour,
		ScaleDown:                true,
		ScaleDownUnready:         true,
		DelayAfterAdd:            10 * time.Minute,
		DelayAfterFailure:        3 * time.Minute,
		UnneededTime:             10 * time.Minute,
		UnreadyTime:              20 * time.Minute,
		UtilizationThreshold:     0.5,
		GPUUtilizationThreshold:  0.5,
		NonEmptyCandidates:       30,
		CandidatesPoolRatio:      0.1,
		CandidatesPoolMin:        50,
		SkipSystemPods:           true,
		SystemPodTimeout:         time.Hour,
		SkipLocalStorage:         true,
		SkipCustomControllers:    true,
		MaxScaleDownParallelism:  10,
		MaxDrainParallelism:      1,
		MaxBulkSoftTaints:        10,
		EvictDaemonSetsOccupied:  true,
		Cordon:                   true,
		MaxGracefulTermination:   10 * time.Minute,
		MaxPodEvictionTime:       2 * time.Minute,
		DeleteDelayAfterTaint:    5 * time.Second,
		NodeDeletionDelayTimeout: 2 * time.Minute,
	}
}

// or is what a group says, or else the flag.
func or[T any](said *T, flag T) T {
	if said != nil {
		return *said
	}
	return flag
}
