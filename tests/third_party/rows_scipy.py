"""SciPy, with its array API switched on."""

import numpy as np
import scipy.cluster.vq
import scipy.constants
import scipy.differentiate
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.optimize.elementwise
import scipy.signal
import scipy.spatial.distance
import scipy.special
import scipy.stats
from scipy import fft, integrate, linalg, optimize, signal, special, stats
from scipy.spatial.transform import RigidTransform, Rotation, Slerp
from third_party.row import Row, draws, space

ROWS: list[Row] = []
normal, uniform, complex_normal = draws(1)


def row(function, call, *args, **options):
    ROWS.append(Row(f"scipy.{function}", call, args, **options))


# special ------------------------------------------------------------------------------------------

POSITIVE = uniform(4, low=0.6, high=2.4)
UNIT = uniform(4, low=0.15, high=0.85)
REAL = normal(4)

for name in (
    *("cbrt", "cosm1", "entr", "erf", "erfc", "erfcx", "exp1", "exp10", "exp2", "expi"),
    *("expit", "expm1", "exprel", "gamma", "gammaln", "hankel", "i0", "i0e", "i1", "i1e", "j0"),
    *("j1", "k0", "k0e", "k1", "k1e", "lambertw", "log1p", "log_expit", "log_ndtr", "loggamma"),
    *("ndtr", "psi", "rgamma", "sinc", "spence", "wofz", "y0", "y1", "dawsn"),
    *("zetac", "digamma", "fresnel", "sici", "shichi", "kolmogorov", "softplus"),
    *("itj0y0", "ker", "kei", "ber", "bei", "modstruve0", "it2i0k0"),
):
    if hasattr(special, name):
        row(f"special.{name}", getattr(special, name), POSITIVE)
for name in ("cosdg", "sindg", "tandg", "cotdg"):
    row(f"special.{name}", getattr(special, name), 30 * POSITIVE)
for name in ("ellipk", "ellipe", "ellipkm1", "erfinv", "erfcinv", "logit", "ndtri", "ndtri_exp"):
    row(f"special.{name}", getattr(special, name), UNIT if name != "ndtri_exp" else -UNIT)
for name in ("beta", "betaln", "agm", "xlogy", "xlog1py", "rel_entr", "kl_div", "hyp0f1", "binom"):
    row(f"special.{name}", getattr(special, name), POSITIVE, UNIT)
for name in ("boxcox", "boxcox1p", "inv_boxcox", "inv_boxcox1p", "huber", "pseudo_huber"):
    row(f"special.{name}", getattr(special, name), POSITIVE, UNIT)
for name in ("gammainc", "gammaincc", "chdtr", "chdtrc", "pdtr", "pdtrc", "jv", "iv", "kv", "yv"):
    row(f"special.{name}", getattr(special, name), UNIT + 1, POSITIVE, fixed=(0,))
for name in ("ive", "kve", "jve", "yve", "poch", "struve", "modstruve", "stdtr"):
    row(f"special.{name}", getattr(special, name), UNIT + 1, POSITIVE, fixed=(0,))
for name in ("gammaincinv", "gammainccinv", "chdtri", "stdtrit", "powm1", "expn", "zeta"):
    first, second = UNIT + 1, POSITIVE + (1 if name == "zeta" else 0)
    second = UNIT if name in ("gammaincinv", "gammainccinv", "chdtri", "stdtrit") else second
    if name == "expn":
        first = np.asarray([1, 2, 3, 4])
    row(f"special.{name}", getattr(special, name), first, second, fixed=(0,))
for name in (
    "betainc",
    "betaincc",
    "betaincinv",
    "betainccinv",
    "fdtr",
    "fdtrc",
    "fdtri",
):
    if hasattr(special, name):
        row(f"special.{name}", getattr(special, name), UNIT + 1, POSITIVE, UNIT, fixed=(0, 1))
for name in ("gdtr", "gdtrc"):
    row(f"special.{name}", getattr(special, name), UNIT + 1, POSITIVE, UNIT, fixed=(1,))
row("special.hyp2f1", special.hyp2f1, UNIT, POSITIVE, UNIT + 2, UNIT, fixed=(0, 1, 2))
row("special.hyp1f1", special.hyp1f1, UNIT, POSITIVE, UNIT, fixed=(0, 1))
row("special.owens_t", special.owens_t, UNIT, POSITIVE)
row("special.polygamma", lambda x: special.polygamma(1, x), POSITIVE)
row("special.multigammaln", lambda x: special.multigammaln(x, 2), POSITIVE + 1)
row("special.logsumexp", lambda x: special.logsumexp(x, axis=1), normal(3, 4))
row("special.softmax", lambda x: special.softmax(x, axis=0), normal(3, 4))
row("special.log_softmax", lambda x: special.log_softmax(x, axis=1), normal(3, 4))
row("special.ellipj", special.ellipj, REAL, UNIT)
row("special.eval_hermite", lambda x: special.eval_hermite(3, x), REAL)
row("special.eval_legendre", lambda x: special.eval_legendre(3, x), UNIT)
row("special.sph_harm_y", lambda x: special.sph_harm_y(2, 1, x, x), UNIT)
row("special.softmax", lambda x, w: special.logsumexp(x, b=w), REAL, POSITIVE, variant="weights")

# stats --------------------------------------------------------------------------------------------

DATA = uniform(9, 3, low=0.5, high=2.5)
OTHER = uniform(9, 3, low=0.4, high=2.2)
LONG = uniform(40, low=0.5, high=2.5)

for name in ("gmean", "hmean", "tmean", "tvar", "tmin", "tmax", "tstd", "tsem", "skew", "kurtosis"):
    row(f"stats.{name}", getattr(stats, name), DATA)
for name in ("sem", "zscore", "gzscore", "gstd", "variation", "kstat", "kstatvar", "circmean"):
    row(f"stats.{name}", getattr(stats, name), DATA)
for name in (
    "circvar",
    "circstd",
    "entropy",
    "iqr",
    "median_abs_deviation",
    "differential_entropy",
):
    row(f"stats.{name}", lambda x, f=getattr(stats, name): f(x, axis=0), DATA)
row("stats.pmean", lambda x: stats.pmean(x, 1.5), DATA)
row("stats.gmean", lambda x, w: stats.gmean(x, weights=w), DATA, DATA, variant="weights")
row("stats.hmean", lambda x, w: stats.hmean(x, weights=w), DATA, DATA, variant="weights")
row("stats.moment", lambda x: stats.moment(x, 3), DATA)
row("stats.mode", lambda x: stats.mode(x).mode, DATA)
row("stats.describe", lambda x: tuple(stats.describe(x))[2:], DATA)
row("stats.zmap", stats.zmap, DATA, OTHER)
row("stats.entropy", lambda p, q: stats.entropy(p, q), DATA, OTHER, variant="relative")
row("stats.quantile", lambda x, p: stats.quantile(x, p, axis=0), DATA, np.asarray(0.37))
row("stats.trim_mean", lambda x: stats.trim_mean(x, 0.2), DATA)
row("stats.trimboth", lambda x: stats.trimboth(x, 0.2), LONG)
row("stats.trim1", lambda x: stats.trim1(x, 0.2), LONG)
row("stats.sigmaclip", lambda x: stats.sigmaclip(x, 3.0, 3.0).clipped, LONG)
row("stats.lmoment", lambda x: stats.lmoment(x), DATA)
row("stats.expectile", lambda x: stats.expectile(x, 0.3), LONG)
row("stats.rankdata", lambda x: stats.rankdata(x) * x, LONG)
row("stats.boxcox_llf", lambda x: stats.boxcox_llf(0.7, x), DATA)
row("stats.yeojohnson_llf", lambda x: stats.yeojohnson_llf(0.7, x), DATA)
row("stats.boxcox", lambda x: stats.boxcox(x, 0.7), LONG)
row("stats.yeojohnson", lambda x: stats.yeojohnson(x, 0.7), LONG)
row("stats.directional_stats", lambda x: stats.directional_stats(x).mean_direction, normal(5, 3))
row("stats.false_discovery_control", stats.false_discovery_control, uniform(6, low=0.01, high=0.2))
row("stats.combine_pvalues", lambda p: tuple(stats.combine_pvalues(p)), UNIT)
for name in ("skewtest", "kurtosistest", "normaltest", "jarque_bera"):
    row(f"stats.{name}", lambda x, f=getattr(stats, name): f(x).statistic, uniform(25, 2))
    row(f"stats.{name}", lambda x, f=getattr(stats, name): f(x).pvalue, uniform(25, 2), variant="p")
for name in (
    "ttest_ind",
    "ttest_rel",
    "bartlett",
    "f_oneway",
    "levene",
):
    function = getattr(stats, name)
    row(f"stats.{name}", lambda x, y, f=function: f(x, y).statistic, DATA, OTHER)
    row(f"stats.{name}", lambda x, y, f=function: f(x, y).pvalue, DATA, OTHER, variant="p")
for name in ("alexandergovern", "epps_singleton_2samp"):
    function = getattr(stats, name)
    row(f"stats.{name}", lambda x, y, f=function: f(x, y).statistic, DATA[:, 0], OTHER[:, 0])
for name in (
    "pearsonr",
    "linregress",
):
    function = getattr(stats, name)
    row(f"stats.{name}", lambda x, y, f=function: f(x, y)[0], DATA[:, 0], OTHER[:, 0])
for name in ("theilslopes", "siegelslopes", "energy_distance", "wasserstein_distance"):
    function = getattr(stats, name)

    def statistic(x, y, f=function):
        out = f(x, y)
        return out[0] if isinstance(out, tuple) else out

    row(f"stats.{name}", statistic, DATA[:, 0], OTHER[:, 0])
row(
    "stats.pearsonr", lambda x, y: stats.pearsonr(x, y).pvalue, DATA[:, 0], OTHER[:, 0], variant="p"
)
row("stats.ttest_1samp", lambda x, m: stats.ttest_1samp(x, m).statistic, DATA, np.asarray(1.0))
row("stats.ttest_1samp", lambda x: stats.ttest_1samp(x, 1.0).pvalue, DATA, variant="p")
row(
    "stats.ttest_ind_from_stats",
    lambda m, s, v, w: stats.ttest_ind_from_stats(m, s, 9, v, w, 8).statistic,
    *(POSITIVE + i for i in range(4)),
)
row("stats.chisquare", lambda f: stats.chisquare(f).statistic, DATA)
row("stats.power_divergence", lambda f: stats.power_divergence(f, lambda_=0.5).statistic, DATA)
row("stats.shapiro", lambda x: stats.shapiro(x).statistic, LONG)
row("stats.anderson", lambda x: stats.anderson(x).statistic, LONG)
row(
    "stats.bootstrap",
    lambda x: (
        stats.bootstrap(
            (x,),
            lambda a, axis: space(a).mean(a, axis=axis),
            n_resamples=20,
            rng=0,
            method="percentile",
        ).standard_error
    ),
    LONG,
)
row(
    "stats.permutation_test",
    lambda x, y: (
        stats.permutation_test(
            (x, y),
            lambda a, b, axis: space(a).mean(a, axis=axis) - space(b).mean(b, axis=axis),
            n_resamples=20,
            vectorized=True,
            rng=0,
        ).statistic
    ),
    DATA[:, 0],
    OTHER[:, 0],
)
row(
    "stats.monte_carlo_test",
    lambda x: (
        stats.monte_carlo_test(
            x,
            lambda size: np.zeros(size),
            lambda a, axis: space(a).mean(a, axis=axis),
            n_resamples=20,
            vectorized=True,
        ).statistic
    ),
    LONG,
)
row("stats.gaussian_kde", lambda x: stats.gaussian_kde(x)(x), LONG)
row(
    "stats.multivariate_normal",
    lambda x: stats.multivariate_normal(np.zeros(3)).logpdf(x),
    normal(3),
)
for name in ("norm", "gamma", "beta", "t"):
    shapes = {"norm": (), "gamma": (2.0,), "beta": (2.0, 3.0), "t": (4.0,)}[name]
    row(f"stats.{name}", lambda x, d=getattr(stats, name), s=shapes: d.logpdf(x, *s), UNIT)
row("stats.binned_statistic", lambda x: stats.binned_statistic(x, x).statistic, LONG)
row("stats.hmean", lambda x: stats.hmean(x, axis=1, keepdims=True), DATA, variant="keepdims")
row("stats.skew", lambda x: stats.skew(x, bias=False), DATA, variant="unbiased")
row("stats.kurtosis", lambda x: stats.kurtosis(x, bias=False), DATA, variant="unbiased")
row("stats.variation", lambda x: stats.variation(x, ddof=1), DATA, variant="ddof")

# signal -------------------------------------------------------------------------------------------

WAVE = normal(16)
KERNEL = normal(5)

row("signal.fftconvolve", signal.fftconvolve, WAVE, KERNEL)
row("signal.convolve", lambda a, b: signal.convolve(a, b, method="fft"), WAVE, KERNEL)
row(
    "signal.convolve",
    lambda a, b: signal.convolve(a, b, method="direct"),
    WAVE,
    KERNEL,
    variant="direct",
)
row("signal.correlate", lambda a, b: signal.correlate(a, b, method="fft"), WAVE, KERNEL)
row("signal.convolve2d", signal.convolve2d, normal(4, 4), normal(2, 2))
row("signal.oaconvolve", signal.oaconvolve, normal(40), KERNEL)
row("signal.hilbert", signal.hilbert, WAVE)
row("signal.hilbert2", signal.hilbert2, normal(4, 4))
row("signal.envelope", lambda x: signal.envelope(x, (1, 5)), WAVE)
row("signal.resample", lambda x: signal.resample(x, 10), WAVE)
row("signal.resample_poly", lambda x: signal.resample_poly(x, 2, 3), WAVE)
row("signal.decimate", lambda x: signal.decimate(x, 2), normal(60))
row("signal.detrend", signal.detrend, WAVE)
row("signal.freqz", lambda b: signal.freqz(b, worN=8)[1], KERNEL)
row(
    "signal.freqz_zpk",
    lambda z, p, k: signal.freqz_zpk(z, p, k, worN=8)[1],
    0.3 * complex_normal(2),
    0.3 * complex_normal(2),
    np.asarray(1.3),
)


def _section(b):
    xp = space(b)
    return xp.concat([b, xp.ones(1), b[:2] / 4])[None, :]


row("signal.freqz_sos", lambda b: signal.freqz_sos(_section(b), worN=8)[1], UNIT[:3])
row(
    "signal.freqs",
    lambda b, a, w: signal.freqs(b, a, worN=w)[1],
    POSITIVE[1:3],
    POSITIVE[:2],
    POSITIVE,
)
row(
    "signal.freqs_zpk",
    lambda z, p, w: signal.freqs_zpk(z, p, 1.0, worN=w)[1],
    POSITIVE[1:3],
    POSITIVE[:1],
    POSITIVE[:2],
)
row("signal.group_delay", lambda b: signal.group_delay((b, 1), w=4)[1], KERNEL)
row("signal.normalize", lambda b, a: signal.normalize(b, a), POSITIVE[:2], POSITIVE[:3])
for name in ("lp2lp", "lp2hp", "lp2bp", "lp2bs"):
    row(f"signal.{name}", lambda b, a, f=getattr(signal, name): f(b, a), POSITIVE[:2], POSITIVE[:3])
for name in (
    "lp2lp_zpk",
    "lp2hp_zpk",
    "lp2bp_zpk",
    "lp2bs_zpk",
    "bilinear_zpk",
    "zpk2tf",
):
    more = (2.0,) if name == "bilinear_zpk" else ()
    row(
        f"signal.{name}",
        lambda z, p, k, f=getattr(signal, name), m=more: f(z, p, k, *m),
        complex_normal(1),
        complex_normal(2),
        np.asarray(1.3),
    )
row("signal.bilinear", lambda b, a: signal.bilinear(b, a), POSITIVE[:2], POSITIVE[:3])
row(
    "signal.tf2zpk",
    lambda b, a: [space(x).sum(x**2) for x in signal.tf2zpk(b, a)],
    POSITIVE[:2],
    POSITIVE[:3],
)
row("signal.tf2sos", lambda b, a: signal.tf2sos(b, a), POSITIVE[:2], POSITIVE[:3])
row("signal.sos2tf", lambda s: signal.sos2tf(s), np.asarray([[1.0, 0.3, 0.2, 1.0, 0.2, 0.1]]))
row("signal.sos2zpk", lambda s: signal.sos2zpk(s), np.asarray([[1.0, 0.3, 0.2, 1.0, 0.2, 0.1]]))
row("signal.firwin", lambda c: signal.firwin(7, c), np.asarray(0.3))
row(
    "signal.firwin2",
    lambda f, g: signal.firwin2(7, f, g),
    np.asarray([0.0, 0.5, 1.0]),
    np.asarray([0.2, 0.6, 0.3]),
    fixed=(0,),
)
row(
    "signal.firwin_2d",
    lambda c: signal.firwin_2d((5, 5), ("hamming", "hamming"), fc=c),
    np.asarray(0.3),
)
row("signal.vectorstrength", lambda e, p: signal.vectorstrength(e, p), WAVE, np.asarray(2.0))
row("signal.lfilter", lambda b, x: signal.lfilter(b, b, x), KERNEL, WAVE)
row("signal.lfilter_zi", lambda b, a: signal.lfilter_zi(b, a), POSITIVE[:3], POSITIVE[:3])
row("signal.lfiltic", lambda b, a, y: signal.lfiltic(b, a, y), POSITIVE[:3], POSITIVE[:3], UNIT[:2])
row("signal.filtfilt", lambda b, x: signal.filtfilt(b, b + 1, x), UNIT[:2], normal(40))
row("signal.sosfilt", lambda b, x: signal.sosfilt(_section(b), x), UNIT[:3], WAVE)
row("signal.sosfilt_zi", lambda b: signal.sosfilt_zi(_section(b)), UNIT[:3])
row("signal.upfirdn", lambda h, x: signal.upfirdn(h, x, 2), KERNEL, WAVE)
row("signal.welch", lambda x: signal.welch(x, nperseg=8)[1], WAVE)
row("signal.periodogram", lambda x: signal.periodogram(x)[1], WAVE)
row("signal.csd", lambda x: signal.csd(x, x, nperseg=8)[1], WAVE)
row("signal.coherence", lambda x, y: signal.coherence(x, y, nperseg=8)[1], WAVE, normal(16))
row("signal.spectrogram", lambda x: signal.spectrogram(x, nperseg=8)[2], WAVE)
row("signal.stft", lambda x: signal.stft(x, nperseg=8)[2], WAVE)
row("signal.lombscargle", lambda t, y, w: signal.lombscargle(t, y, w), WAVE, normal(16), POSITIVE)
row("signal.medfilt", signal.medfilt, WAVE)
row("signal.savgol_filter", lambda x: signal.savgol_filter(x, 5, 2), WAVE)
row("signal.wiener", lambda x: signal.wiener(x, 3), WAVE)
row("signal.gauss_spline", lambda x: signal.gauss_spline(x, 3), WAVE)
row("signal.sawtooth", lambda t: signal.sawtooth(t), WAVE)
row("signal.chirp", lambda t: signal.chirp(t, 1.0, 2.0, 3.0), UNIT)
row("signal.gausspulse", lambda t: signal.gausspulse(t, fc=1.0), UNIT)
row("signal.cspline1d", lambda x: signal.cspline1d(x), WAVE)
row("signal.invres", lambda r, p: signal.invres(r, p, r), POSITIVE[:2], POSITIVE[2:])
row("signal.deconvolve", lambda a, b: signal.deconvolve(a, b), WAVE, POSITIVE[:2])
row("signal.czt", lambda x: signal.czt(x), WAVE)
row("signal.zoom_fft", lambda x, f: signal.zoom_fft(x, f, m=5), WAVE, np.asarray([0.1, 0.5]))
row(
    "signal.abcd_normalize",
    lambda a, b, c, d: signal.abcd_normalize(a, b, c, d),
    normal(2, 2),
    normal(2, 1),
    normal(1, 2),
    normal(1, 1),
)

# fft ----------------------------------------------------------------------------------------------

for name in (
    "fft",
    "ifft",
    "rfft",
    "hfft",
    "ihfft",
    "fftn",
    "ifftn",
    "fft2",
    "ifft2",
    "rfftn",
    "rfft2",
):
    row(f"fft.{name}", getattr(fft, name), normal(4, 6))
for name in (
    "irfft",
    "irfftn",
    "irfft2",
    "hfft2",
    "hfftn",
    "ihfft2",
    "ihfftn",
    "fftshift",
    "ifftshift",
):
    z = normal(4, 6) if name.startswith("ih") else complex_normal(4, 4)
    row(f"fft.{name}", getattr(fft, name), z)
for name in ("dct", "idct", "dst", "idst", "dctn", "idctn", "dstn", "idstn"):
    row(f"fft.{name}", getattr(fft, name), normal(6))
row("fft.fft", lambda x: fft.fft(x, n=5, axis=0, norm="ortho"), normal(4, 6), variant="ortho")
row("fft.fftfreq", lambda d: fft.fftfreq(5, d), np.asarray(0.3))
row("fft.fht", lambda a: fft.fht(a, 0.1, 0.5), normal(8))
row("fft.ifht", lambda a: fft.ifht(a, 0.1, 0.5), normal(8))

# integrate ----------------------------------------------------------------------------------------

GRID = np.linspace(0.0, 3.0, 9) + uniform(9, low=0.0, high=0.1)


def bump(x, a):
    return space(x).exp(-a * x**2)


row("integrate.trapezoid", lambda y, x: integrate.trapezoid(y, x), WAVE[:9], GRID)
row("integrate.trapezoid", lambda y: integrate.trapezoid(y, dx=0.3, axis=0), DATA, variant="dx")
row(
    "integrate.cumulative_trapezoid",
    lambda y, x: integrate.cumulative_trapezoid(y, x, initial=0),
    WAVE[:9],
    GRID,
)
row(
    "integrate.cumulative_simpson",
    lambda y, x: integrate.cumulative_simpson(y, x=x),
    WAVE[:9],
    GRID,
)
row(
    "integrate.cumulative_simpson",
    lambda y: integrate.cumulative_simpson(y, dx=0.3),
    WAVE[:9],
    variant="dx",
)
row("integrate.simpson", lambda y, x: integrate.simpson(y, x), WAVE[:9], GRID)
row("integrate.romb", lambda y: integrate.romb(y, dx=0.3), WAVE[:9])
row(
    "integrate.tanhsinh",
    lambda a, b, p: integrate.tanhsinh(bump, a, b, args=(p,)).integral,
    UNIT,
    UNIT + 1,
    POSITIVE,
)
row(
    "integrate.cubature",
    lambda a, p: (
        integrate.cubature(
            lambda x, p: space(x).exp(-p * space(x).sum(x**2, axis=-1)), a, a + 1, args=(p,)
        ).estimate
    ),
    UNIT[:2],
    np.asarray(0.7),
)
row(
    "integrate.qmc_quad",
    lambda a: (
        integrate.qmc_quad(
            lambda x: space(x).sum(x**2, axis=0),
            a,
            a + 1,
            n_points=32,
            n_estimates=2,
            qrng=stats.qmc.Halton(2, rng=0),
        ).integral
    ),
    UNIT[:2],
)
row(
    "integrate.nsum",
    lambda p: integrate.nsum(lambda k, p: space(k).exp(-p * k), 1.0, np.inf, args=(p,)).sum,
    POSITIVE,
)
row(
    "integrate.fixed_quad",
    lambda a: integrate.fixed_quad(lambda x: x**2, a, a + 1)[0],
    np.asarray(0.3),
)
row("integrate.quad", lambda a: integrate.quad(lambda x: x**2, 0, a)[0], np.asarray(0.3))
row("integrate.solve_ivp", lambda y: integrate.solve_ivp(lambda t, y: -y, (0, 1), y).y, UNIT)
row("integrate.odeint", lambda y: integrate.odeint(lambda y, t: -y, y, [0.0, 1.0]), UNIT)
row("integrate.quad_vec", lambda a: integrate.quad_vec(lambda x: a * x, 0, 1)[0], UNIT)
# optimize, differentiate --------------------------------------------------------------------------


def cubic(x, c):
    return x**3 - c


for name in ("rosen", "rosen_der", "rosen_hess"):
    row(f"optimize.{name}", getattr(optimize, name), REAL)
row("optimize.rosen_hess_prod", optimize.rosen_hess_prod, REAL, UNIT)
row(
    "optimize.elementwise.find_root",
    lambda a, c: optimize.elementwise.find_root(cubic, (a, a + 3), args=(c,)).x,
    UNIT - 1,
    POSITIVE,
    fixed=(0,),
    tolerance=1e-4,
)
row(
    "optimize.elementwise.bracket_root",
    lambda c: optimize.elementwise.bracket_root(cubic, c * 0, c * 0 + 1, args=(c,)).f_bracket,
    POSITIVE,
)
row(
    "optimize.elementwise.find_minimum",
    lambda c: (
        optimize.elementwise.find_minimum(
            lambda x, c: (x - c) ** 2 + c, (c * 0 - 1, c, c * 0 + 4), args=(c,)
        ).f_x
    ),
    POSITIVE,
    tolerance=1e-4,
)
row(
    "optimize.elementwise.bracket_minimum",
    lambda c: (
        optimize.elementwise.bracket_minimum(lambda x, c: (x - c) ** 2, c * 0, args=(c,)).f_bracket
    ),
    POSITIVE,
)
row("optimize.newton", lambda c: optimize.newton(cubic, c, args=(c,)), POSITIVE, tolerance=1e-4)
row("optimize.nnls", lambda a, b: optimize.nnls(a, b)[0], uniform(4, 2), UNIT)
row("optimize.linprog", lambda c: optimize.linprog(c, A_ub=[[-1, -1]], b_ub=[-1]).fun, POSITIVE[:2])
row("optimize.linear_sum_assignment", lambda c: c[optimize.linear_sum_assignment(c)], uniform(3, 3))
row("optimize.approx_fprime", lambda x: optimize.approx_fprime(x, lambda z: (z**2).sum()), REAL)
row(
    "optimize.curve_fit",
    lambda x, y: optimize.curve_fit(lambda x, a: a * x, x, y)[0],
    POSITIVE,
    UNIT,
)
row(
    "differentiate.derivative",
    lambda x, p: scipy.differentiate.derivative(bump, x, args=(p,)).df,
    UNIT,
    POSITIVE,
    tolerance=1e-4,
)
row(
    "differentiate.jacobian",
    lambda x: (
        scipy.differentiate.jacobian(
            lambda z: space(z).stack([z[0] ** 2 * z[1], z[0] * z[1] ** 3]), x
        ).df
    ),
    UNIT[:2],
    tolerance=1e-4,
)
row(
    "differentiate.hessian",
    lambda x: scipy.differentiate.hessian(lambda z: z[0] ** 2 * z[1] ** 3, x).ddf,
    UNIT[:2] + 0.5,
    tolerance=1e-3,
)

# spatial ------------------------------------------------------------------------------------------


def _circle(angle):
    xp = space(angle)
    return xp.stack([xp.cos(angle), xp.sin(angle)])


QUATERNIONS = normal(3, 4)
VECTORS = normal(3, 3)
ANGLES = uniform(3, 3, low=0.2, high=1.2)


def turned(f):
    return lambda q, *more: f(Rotation.from_quat(q), *more)


ROTATION = "spatial.transform.Rotation"
row(f"{ROTATION}.from_quat", lambda q: Rotation.from_quat(q).as_matrix(), QUATERNIONS)
row(f"{ROTATION}.from_rotvec", lambda v: Rotation.from_rotvec(v).as_quat(), ANGLES)
row(f"{ROTATION}.from_euler", lambda a: Rotation.from_euler("xyz", a).as_matrix(), ANGLES)
row(
    f"{ROTATION}.from_matrix",
    lambda m: Rotation.from_matrix(m).as_quat(),
    np.linalg.qr(normal(3, 3, 3))[0] + 0.01 * normal(3, 3, 3),
)
row(f"{ROTATION}.from_mrp", lambda m: Rotation.from_mrp(m).as_matrix(), 0.4 * ANGLES)
row(
    f"{ROTATION}.from_davenport",
    lambda a: Rotation.from_davenport([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "e", a).as_matrix(),
    ANGLES,
)
for name in ("as_matrix", "as_quat", "as_rotvec", "as_mrp", "magnitude"):
    row(f"{ROTATION}.{name}", turned(lambda r, n=name: getattr(r, n)()), QUATERNIONS)
row(f"{ROTATION}.as_euler", turned(lambda r: r.as_euler("zyx")), QUATERNIONS)
row(
    f"{ROTATION}.as_davenport",
    turned(lambda r: r.as_davenport([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "e")),
    QUATERNIONS,
)
row(f"{ROTATION}.inv", turned(lambda r: r.inv().as_matrix()), QUATERNIONS)
row(f"{ROTATION}.mean", turned(lambda r: r.mean().as_matrix()), QUATERNIONS)
row(f"{ROTATION}.reduce", turned(lambda r: r.reduce().as_matrix()), QUATERNIONS)
row(f"{ROTATION}.apply", turned(lambda r, v: r.apply(v)), QUATERNIONS, VECTORS)
row(
    f"{ROTATION}.__mul__",
    turned(lambda r, q: (r * Rotation.from_quat(q)).as_matrix()),
    QUATERNIONS,
    normal(3, 4),
)
row(f"{ROTATION}.__pow__", turned(lambda r: (r**0.7).as_matrix()), QUATERNIONS)
row(f"{ROTATION}.__getitem__", turned(lambda r: r[1:].as_matrix()), QUATERNIONS)
row(
    f"{ROTATION}.approx_equal", turned(lambda r: r.approx_equal(r) * r.as_quat()[:, 0]), QUATERNIONS
)
row(
    f"{ROTATION}.concatenate",
    turned(lambda r, q: Rotation.concatenate([r, Rotation.from_quat(q)]).as_matrix()),
    QUATERNIONS,
    normal(3, 4),
)
row(
    f"{ROTATION}.align_vectors",
    lambda a, b: Rotation.align_vectors(a, b)[0].as_matrix(),
    VECTORS,
    normal(3, 3),
)
row(
    "spatial.transform.Slerp",
    lambda q, t: Slerp(np.asarray([0.0, 1.0, 2.0]), Rotation.from_quat(q))(t).as_matrix(),
    QUATERNIONS,
    np.asarray([0.3, 1.6]),
)
row(
    "spatial.transform.RotationSpline",
    lambda q, t: scipy.spatial.transform.RotationSpline([0.0, 1.0, 2.0], Rotation.from_quat(q))(
        t
    ).as_matrix(),
    QUATERNIONS,
    np.asarray([0.3, 1.6]),
)

RIGID = "spatial.transform.RigidTransform"
MATRIX = np.tile(np.eye(4), (3, 1, 1))
MATRIX[:, :3, :3] = Rotation.from_quat(QUATERNIONS).as_matrix()
MATRIX[:, :3, 3] = VECTORS


def moved(f):
    return lambda v, q, *more: f(RigidTransform.from_components(v, Rotation.from_quat(q)), *more)


row(f"{RIGID}.from_components", moved(lambda t: t.as_matrix()), VECTORS, QUATERNIONS)
row(
    f"{RIGID}.from_rotation",
    lambda q: RigidTransform.from_rotation(Rotation.from_quat(q)).as_matrix(),
    QUATERNIONS,
)
row(f"{RIGID}.from_translation", lambda v: RigidTransform.from_translation(v).as_matrix(), VECTORS)
row(f"{RIGID}.from_matrix", lambda v: RigidTransform.from_matrix(_rigid(v)).as_matrix(), VECTORS)
row(
    f"{RIGID}.from_exp_coords",
    lambda v: RigidTransform.from_exp_coords(v).as_matrix(),
    normal(3, 6),
)
row(f"{RIGID}.from_dual_quat", lambda v: RigidTransform.from_dual_quat(v).as_matrix(), normal(3, 8))
for name in ("as_matrix", "as_exp_coords", "as_dual_quat"):
    row(f"{RIGID}.{name}", moved(lambda t, n=name: getattr(t, n)()), VECTORS, QUATERNIONS)
row(
    f"{RIGID}.as_components",
    moved(lambda t: (t.as_components()[0], t.as_components()[1].as_quat())),
    VECTORS,
    QUATERNIONS,
)
row(f"{RIGID}.inv", moved(lambda t: t.inv().as_matrix()), VECTORS, QUATERNIONS)
row(f"{RIGID}.apply", moved(lambda t, x: t.apply(x)), VECTORS, QUATERNIONS, normal(3, 3))
row(f"{RIGID}.__mul__", moved(lambda t: (t * t.inv() * t).as_matrix()), VECTORS, QUATERNIONS)
row(
    f"{RIGID}.__pow__",
    lambda v: (RigidTransform.from_exp_coords(v) ** 0.6).as_matrix(),
    0.4 * normal(3, 6),
    tolerance=1e-5,  # SciPy's code for NumPy and its code for the standard differ by 2e-8
)
row(f"{RIGID}.__getitem__", moved(lambda t: t[0].as_matrix()), VECTORS, QUATERNIONS)
row(f"{RIGID}.mean", moved(lambda t: t.mean().as_matrix()), VECTORS, QUATERNIONS)
row(
    f"{RIGID}.concatenate",
    moved(lambda t: RigidTransform.concatenate([t, t]).as_matrix()),
    VECTORS,
    QUATERNIONS,
)


def _rigid(v):
    xp = space(v)
    top = xp.concat([xp.asarray(MATRIX[:, :3, :3]), v[:, :, None]], axis=2)
    return xp.concat([top, xp.asarray(MATRIX[:, 3:, :])], axis=1)


for name in ("pdist", "cdist"):
    more = (VECTORS,) if name == "cdist" else ()
    row(f"spatial.distance.{name}", getattr(scipy.spatial.distance, name), normal(4, 3), *more)
for name in (
    "euclidean",
    "cosine",
    "correlation",
    "cityblock",
    "minkowski",
    "chebyshev",
    "canberra",
):
    row(f"spatial.distance.{name}", getattr(scipy.spatial.distance, name), REAL, UNIT)
row(
    "spatial.geometric_slerp",
    lambda a: scipy.spatial.geometric_slerp(_circle(a), _circle(a + 1), np.asarray([0.3])),
    np.asarray(0.3),
)
row("spatial.procrustes", lambda a, b: scipy.spatial.procrustes(a, b), normal(4, 2), normal(4, 2))

# linalg, cluster, constants, interpolate, ndimage -------------------------------------------------

SQUARE = normal(3, 3)
DEFINITE = SQUARE @ SQUARE.T + 3 * np.eye(3)

row("linalg.block_diag", lambda a, b: linalg.block_diag(a, b), SQUARE, normal(2, 1))
row("linalg.fiedler", linalg.fiedler, REAL)
row(
    "linalg.orthogonal_procrustes",
    lambda a, b: linalg.orthogonal_procrustes(a, b),
    normal(5, 3),
    normal(5, 3),
)
for name in ("inv", "det", "expm", "logm", "sqrtm", "cholesky", "lu", "pinv", "svdvals", "eigvals"):
    row(f"linalg.{name}", getattr(linalg, name), DEFINITE)
for name in (
    "qr",
    "svd",
    "eigh",
    "schur",
    "hessenberg",
    "ldl",
    "orth",
    "norm",
    "toeplitz",
):
    row(f"linalg.{name}", getattr(linalg, name), DEFINITE if name != "toeplitz" else REAL)
for name in ("circulant", "companion", "hankel"):
    row(f"linalg.{name}", getattr(linalg, name), REAL)
for name in ("solve", "lstsq", "solve_triangular", "kron", "khatri_rao"):
    if hasattr(linalg, name):
        row(f"linalg.{name}", lambda a, b, f=getattr(linalg, name): f(a, b), DEFINITE, normal(3, 3))
row("cluster.vq.whiten", scipy.cluster.vq.whiten, DATA)
row("cluster.vq.vq", lambda x, c: scipy.cluster.vq.vq(x, c)[1], DATA, OTHER[:3])
row("cluster.vq.kmeans", lambda x: scipy.cluster.vq.kmeans(x, 2)[0], DATA)
row(
    "constants.convert_temperature",
    lambda t: scipy.constants.convert_temperature(t, "Celsius", "Fahrenheit"),
    REAL,
)
row("constants.lambda2nu", lambda x: scipy.constants.lambda2nu(x) * 1e-8, POSITIVE)
row("constants.nu2lambda", lambda x: scipy.constants.nu2lambda(x) * 1e-8, POSITIVE)
row(
    "interpolate.CubicSpline", lambda x, y: scipy.interpolate.CubicSpline(x, y)(0.5), GRID, WAVE[:9]
)
row("interpolate.interp1d", lambda x, y: scipy.interpolate.interp1d(x, y)(1.0), GRID, WAVE[:9])
row(
    "interpolate.PchipInterpolator",
    lambda x, y: scipy.interpolate.PchipInterpolator(x, y)(1.0),
    GRID,
    WAVE[:9],
)
row(
    "interpolate.RBFInterpolator",
    lambda x, y, z: scipy.interpolate.RBFInterpolator(x, y, kernel="cubic")(z),
    normal(6, 2),
    normal(6),
    normal(3, 2),
)
row(
    "interpolate.BarycentricInterpolator",
    lambda x, y: scipy.interpolate.BarycentricInterpolator(x, y)(1.0),
    GRID,
    WAVE[:9],
)
row(
    "interpolate.make_interp_spline",
    lambda x, y: scipy.interpolate.make_interp_spline(x, y)(1.0),
    GRID,
    WAVE[:9],
)
row("interpolate.BSpline", lambda t, c: scipy.interpolate.BSpline(t, c, 2)(1.5), GRID, WAVE[:6])
row("interpolate.PPoly", lambda c, x: scipy.interpolate.PPoly(c, x)(1.0), normal(3, 8), GRID)
for name in ("gaussian_filter", "uniform_filter", "sobel", "zoom", "rotate", "shift"):
    more = {"gaussian_filter": (1.0,), "zoom": (2,), "rotate": (20,), "shift": (0.5,)}.get(name, ())
    row(f"ndimage.{name}", lambda x, f=getattr(scipy.ndimage, name), m=more: f(x, *m), normal(5, 5))
