use crate::words::words;

words! {
    /// How the values of one bucket become one number.
    pub enum Aggregation {
        /// Their sum (the default).
        Sum = "sum",
        /// Their arithmetic mean, over records, not over days.
        Average = "average",
        /// The smallest.
        Min = "min",
        /// The largest.
        Max = "max",
        /// How many there are.
        Count = "count",
        /// How many different ones there are; values may be text.
        CountDistinct = "count_distinct",
        /// The earliest by date.
        First = "first",
        /// The latest by date.
        Last = "last",
        /// The middle one.
        Median = "median",
        /// The value that 90 % do not exceed.
        P90 = "p90",
        /// The value that 95 % do not exceed.
        P95 = "p95",
        /// The value that 99 % do not exceed.
        P99 = "p99",
    }
}

words! {
    /// How the samples of a level join over a longer range.
    pub enum OverTime {
        /// The latest sample (the default).
        Last = "last",
        /// The mean of the samples.
        Average = "average",
        /// The smallest sample.
        Min = "min",
        /// The largest sample.
        Max = "max",
        /// The sum of the samples.
        Sum = "sum",
    }
}

words! {
    /// What a row stands for in time.
    pub enum MetricType {
        /// Each record belongs to its date (the default with a date).
        Events = "events",
        /// How things stand at each sync (the default without a date).
        Levels = "levels",
        /// A value for a stated period, not re-aggregated except by a stated rule.
        Periods = "periods",
        /// A counter that only grows: what counts is the difference between samples.
        RunningTotal = "running_total",
    }
}
