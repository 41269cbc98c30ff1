//! A private broker that speaks Kafka's protocol.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::Account;
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, program};
use crate::proxy::Proxy;

const NAME: &str = "tansu";

/// The release that `scripts/install-servers` unpacks.
const RELEASE: &str = "tansu 0.6.0";

/// How long the broker may take to answer a question about itself.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// A running tansu, which keeps everything in memory, behind a proxy.
///
/// A client of Kafka connects to the address that a broker says it has. Here that is the proxy's.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    proxy: Proxy,
    cluster: String,
}

impl Kafka {
    /// Starts a broker.
    ///
    /// # Errors
    ///
    /// When its program is missing, or it does not come up; the error carries its log.
    pub async fn start() -> Result<Self, Error> {
        with_retries(Self::start_once).await
    }

    async fn start_once() -> Result<Self, Error> {
        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()?).into();
        let proxy = Proxy::start(address).map_err(|e| Error::io(address.to_string(), e))?;
        // Of its answer: it tells this broker from another server that took the port.
        let cluster = format!("idem-{}", uuid::Uuid::now_v7());
        let arguments = [
            "broker",
            "--cluster-id",
            &cluster,
            "--listener-url",
            &format!("tcp://{address}"),
            "--advertised-listener-url",
            &format!("tcp://{}", proxy.address()),
            "--storage-engine",
            "memory://tansu/",
        ];
        let launch = Launch {
            program: program()?,
            arguments: arguments.map(str::to_owned).into(),
            environment: Vec::new(),
            signal: "KILL",
        };
        let process = Process::start(folder, &account, &launch)?;
        let server = Self {
            process,
            proxy,
            cluster,
        };
        server.wait_until_ready(address).await?;
        Ok(server)
    }

    async fn wait_until_ready(&self, address: SocketAddr) -> Result<(), Error> {
        let probe = async || {
            let answer = metadata(address)?;
            let cluster = self.cluster.as_bytes();
            let is_this = answer.windows(cluster.len()).any(|part| part == cluster);
            is_this
                .then_some(())
                .ok_or_else(|| Error::Failed("another server has its port".into()))
        };
        self.process.wait_until_ready(NAME, probe).await
    }

    /// Where clients connect: `bootstrap.servers`.
    pub fn brokers(&self) -> String {
        self.proxy.address().to_string()
    }

    /// What stands between the broker and all its clients.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Everything that the broker has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn program() -> Result<PathBuf, Error> {
    if let Some(folder) = program::chosen("IDEM_TANSU") {
        return Ok(folder.join("tansu"));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/tansu-0.6.0");
    let program = folder.join("tansu");
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::NotUnpacked {
        release: RELEASE,
        folder: folder.display().to_string(),
    })
}

/// What the broker says about itself: the answer to a request `Metadata`, version 2, of no topic.
fn metadata(address: SocketAddr) -> Result<Vec<u8>, Error> {
    const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    let failed = |e| Error::io(address.to_string(), e);
    let mut connection = TcpStream::connect(address).map_err(failed)?;
    let limited = connection.set_read_timeout(Some(ANSWERS_WITHIN));
    limited.map_err(failed)?;
    connection.write_all(&REQUEST).map_err(failed)?;
    let mut length = [0; 4];
    connection.read_exact(&mut length).map_err(failed)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
    let mut answer = vec![0; length.min(64 * 1024)];
    connection.read_exact(&mut answer).map_err(failed)?;
    Ok(answer)
}
