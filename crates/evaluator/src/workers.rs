//! The pool of worker processes, in which users' expressions run.
//!
//! A worker holds no state between runs, has an empty environment and a memory limit that it sets
//! itself before it reads anything. One that does not answer in time is killed; the next run gets a
//! new one.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use expression::budget::{Limits, REQUEST_WALL};
use expression::frame::{self, FrameError, HEADER_BYTES, Reply};
use expression::{EvaluationError, Page, RunContext, Task, TaskResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::WorkerProgram;

/// Frames are written and read while the other side works; past this the worker is stuck.
const WALL: Duration = REQUEST_WALL;

/// Why a worker could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("`{program}` cannot be started")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It died: out of memory, or killed from outside.
    #[error("the worker ended")]
    Ended(#[source] std::io::Error),
    /// It did not answer in time and was killed.
    #[error("the worker did not answer within {WALL:?} and was killed")]
    Stuck,
    /// What it said makes no sense.
    #[error("the worker spoke out of turn")]
    Frame(#[from] FrameError),
    /// It answered another question.
    #[error("the worker answered another question")]
    OutOfTurn,
    /// The pool is being shut down.
    #[error("no more workers are started")]
    Closed,
}

impl WorkerError {
    /// True when what it was given is the likely cause: it died or got stuck over it.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Ended(_) | Self::Stuck | Self::Frame(_) | Self::OutOfTurn => true,
            Self::Start { .. } | Self::Closed => false,
        }
    }
}

/// Worker processes, lent one at a time.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    program: WorkerProgram,
    idle: Arc<Mutex<Vec<Process>>>,
    permits: Arc<Semaphore>,
}

impl Workers {
    /// Makes a pool of at most `count` processes; they are started when first needed.
    pub(crate) fn new(program: WorkerProgram, count: usize) -> Self {
        Self {
            program,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(count.max(1))),
        }
    }

    /// Lends a worker with `tasks` compiled; also returns those that do not compile.
    pub(crate) async fn lend(
        &self,
        tasks: &[Task],
        context: &RunContext,
    ) -> Result<(Worker, Vec<(u32, EvaluationError)>), WorkerError> {
        let permit = Arc::clone(&self.permits);
        let permit = permit
            .acquire_owned()
            .await
            .map_err(|_| WorkerError::Closed)?;
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let process = match idle {
            Some(process) => process,
            None => Process::start(&self.program)?,
        };
        let mut worker = Worker {
            process: Some(process),
            idle: Arc::clone(&self.idle),
            _permit: permit,
        };
        let frame = frame::compile(tasks, context, &Limits::default())?;
        match worker.ask(&frame).await? {
            Reply::Ready(problems) => Ok((worker, problems)),
            _ => Err(WorkerError::OutOfTurn),
        }
    }
}

/// A worker on loan. Dropped, it goes back to the pool, unless it failed.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Option<Process>,
    idle: Arc<Mutex<Vec<Process>>>,
    _permit: OwnedSemaphorePermit,
}

impl Worker {
    /// Evaluates `scope: page` tasks on some pages: the results of each, in order.
    pub(crate) async fn pages(
        &mut self,
        pages: &[Page<'_>],
    ) -> Result<Vec<Vec<TaskResult>>, WorkerError> {
        match self.ask(&frame::pages(pages)?).await? {
            Reply::Pages(results) => Ok(results),
            _ => Err(WorkerError::OutOfTurn),
        }
    }

    /// Keeps pages for `scope: run` tasks; the answer says when they are too many.
    pub(crate) async fn hold(
        &mut self,
        pages: &[Page<'_>],
    ) -> Result<Option<EvaluationError>, WorkerError> {
        match self.ask(&frame::hold(pages)?).await? {
            Reply::Held(problem) => Ok(problem),
            _ => Err(WorkerError::OutOfTurn),
        }
    }

    /// Evaluates `scope: run` tasks on the pages held.
    pub(crate) async fn run(&mut self) -> Result<Vec<TaskResult>, WorkerError> {
        match self.ask(&frame::run()?).await? {
            Reply::Run(results) => Ok(results),
            _ => Err(WorkerError::OutOfTurn),
        }
    }

    /// Looks at pages for [`Worker::profile`]; the answer says when one cannot be read.
    pub(crate) async fn survey(
        &mut self,
        pages: &[Page<'_>],
    ) -> Result<Option<EvaluationError>, WorkerError> {
        match self.ask(&frame::survey(pages)?).await? {
            Reply::Held(problem) => Ok(problem),
            _ => Err(WorkerError::OutOfTurn),
        }
    }

    /// Tells what the pages looked at hold, as JSON of a `Look`; empty when none could be read.
    pub(crate) async fn profile(&mut self) -> Result<String, WorkerError> {
        match self.ask(&frame::profile()?).await? {
            Reply::Profile(look) => Ok(look),
            _ => Err(WorkerError::OutOfTurn),
        }
    }

    /// Sends one frame and reads its answer. A worker that fails here is gone.
    async fn ask(&mut self, frame: &[u8]) -> Result<Reply, WorkerError> {
        let mut process = self.process.take().ok_or(WorkerError::OutOfTurn)?;
        let answer = timeout(WALL, process.exchange(frame)).await;
        match answer {
            Ok(Ok(message)) => {
                let reply = frame::reply(&message)?;
                self.process = Some(process);
                Ok(reply)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let _ = process.child.start_kill();
                Err(WorkerError::Stuck)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(process);
        }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Process {
    fn start(program: &WorkerProgram) -> Result<Self, WorkerError> {
        let start = |cause| WorkerError::Start {
            program: program.path.display().to_string(),
            cause,
        };
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let missing = || start(std::io::Error::other("it has no pipes"));
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Writes a frame and reads the answer's message, both at once: either may be larger than a pipe.
    async fn exchange(&mut self, frame: &[u8]) -> Result<Vec<u8>, WorkerError> {
        let (input, output) = (&mut self.input, &mut self.output);
        let write = async {
            input.write_all(frame).await.map_err(WorkerError::Ended)?;
            input.flush().await.map_err(WorkerError::Ended)
        };
        let read = async {
            let mut header = [0; HEADER_BYTES];
            output
                .read_exact(&mut header)
                .await
                .map_err(WorkerError::Ended)?;
            let length = frame::message_length(header)?;
            let mut message = Vec::with_capacity(length.min(1024 * 1024));
            let read = output
                .take(length as u64)
                .read_to_end(&mut message)
                .await
                .map_err(WorkerError::Ended)?;
            if read < length {
                return Err(WorkerError::Ended(std::io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(message)
        };
        let ((), message) = tokio::try_join!(write, read)?;
        Ok(message)
    }
}
