//! A program that asks a running RabbitMQ: its own command takes a second for each question.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::super::Error;

/// It ends when its standard input does, and so with the test process.
#[derive(Debug)]
pub(super) struct Control {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
}

impl Control {
    /// `command` runs `erl` with a name and a cookie.
    pub(super) fn start(mut command: Command) -> Result<Self, Error> {
        let mut child = command
            .args(["-noshell", "-eval", include_str!("control.erl")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::io("erl", e))?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Failed("erl was started without pipes".into()));
        };
        Ok(Self {
            pipes: Mutex::new((questions, BufReader::new(answers))),
            child,
        })
    }

    /// One question, and its answer.
    pub(super) fn ask(&self, question: &str) -> Result<String, Error> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (questions, answers) = &mut *pipes;
        let mut answer = String::new();
        writeln!(questions, "{question}")
            .and_then(|()| answers.read_line(&mut answer))
            .map_err(|e| Error::io("RabbitMQ's control program", e))?;
        match answer.trim_end() {
            "" => Err(Error::Failed("RabbitMQ's control program has ended".into())),
            answer => Ok(answer.to_owned()),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody needs what it would still say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
